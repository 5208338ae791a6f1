"""``python -m karyo_lib.iscn``: compute the computed columns of the catalogue again."""

from karyo_lib.iscn.catalogue import write_catalogue

print(f"{write_catalogue().name} written")
