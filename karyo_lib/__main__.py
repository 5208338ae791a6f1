"""``python -m karyo_lib``: the command ``karyo``."""

from karyo_lib.cli import main

if __name__ == "__main__":
    main()
