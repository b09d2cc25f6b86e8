"""Converters: a checkpoint in the form that another runtime reads. Installs as `distilcli.converters`."""

if __name__ == "converters":
    raise ImportError("this folder is installed as distilcli.converters: import it under that name")
