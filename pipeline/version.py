"""The version of the whole project: `--version`, the installed package and the images' label say this one."""

VERSION = "0.1.0"
