"""What the store promises when the disk fails, the process dies or others write too."""
