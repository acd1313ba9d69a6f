"""The demo project: settings only, there is no web part."""
