def add(commands, common):
    pass
