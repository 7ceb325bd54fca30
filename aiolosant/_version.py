"""The version, known without looking at the package's metadata, which a copy of the package may lack."""

VERSION = "0.2.0"
