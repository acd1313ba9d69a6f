__import__("setuptools").setup()  # everything is declared in setup.cfg
