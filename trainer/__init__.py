"""Training of small Whisper students: data, labels, losses, the loop, checkpoints and export.

Installs as `distilcli.trainer`; it does not know the command line.
"""

if __name__ == "trainer":
    raise ImportError("the folder trainer/ installs as distilcli.trainer: import distilcli.trainer instead")
