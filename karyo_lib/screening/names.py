"""How files and patients are called in a worklist: as they are, or masked."""

import hashlib
import re
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from karyo_lib.files.metadata import METADATA, plain_name, read_metadata
from karyo_lib.store import write_whole

PATIENTS = ("none", "show", "mask")
_SALT = "salt"


class Names:
    """Names of files and patients for one worklist. ``patients`` ('none', 'show', 'mask'): left out, shown,
    or a code, of this `salt`, that is the same for all of a patient's cases; ``masked``: a case's number in
    place of its file name, and no digest of the file."""

    def __init__(
        self,
        patient_of: dict[str, str] | None = None,
        patients: str = "none",
        *,
        masked: bool = False,
        salt: bytes = b"",
    ):
        if patients not in PATIENTS:
            raise ValueError(f"Expected patients to be one of {', '.join(PATIENTS)}. Received {patients!r}.")
        self._patient_of, self._patients, self.masked, self._salt = patient_of or {}, patients, masked, salt

    @property
    def shows_patients(self) -> bool:
        """Whether a worklist has a column for patients."""
        return self._patients != "none" and bool(self._patient_of)

    def file(self, name: str, number: int) -> str:
        """Return what the file of a case is called."""
        return f"case {number}" if self.masked else name

    def patient(self, name: str) -> str:
        """Return what the patient of a file is called; '' if unknown or not to be shown."""
        known = self._patient_of.get(name) or self._patient_of.get(plain_name(name), "")
        patient = known if self._patients != "none" else ""
        if patient and self._patients == "mask":
            code = hashlib.blake2b(patient.encode(), key=self._salt, digest_size=5).hexdigest()
            return f"P-{code}"
        return patient


def read_patients(folder: Path) -> dict[str, str]:
    """Return file -> patient from ``metadata.csv`` if it is there."""
    if not (Path(folder) / METADATA).is_file():
        return {}
    table = read_metadata(folder, "file_name", "patient_id")
    return dict(zip(table["file_name"], table["patient_id"], strict=True))


def group_files(files: Iterable[str], patient_of: Mapping[str, str], pattern: str = "") -> dict[str, str]:
    """Tell whose cell each of ``files`` (below the screened folder) is: by ``patient_of`` (``metadata.csv``),
    else the first group of ``pattern`` in the file's name (``'(\\d+)[a-z]?\\.png'``), else its folder, else
    left out. Raises ValueError if the pattern is none, or has no group."""
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ValueError(
            f"Expected a regular expression for patients. Received {pattern!r}: {error}."
        ) from error
    if pattern and not compiled.groups:
        raise ValueError(
            f"Expected a pattern with a group for the patient, as in '(\\d+)_.*'. Received {pattern!r}."
        )
    found = {}
    for file in files:
        match = compiled.search(PurePosixPath(file).name) if pattern else None
        folder = PurePosixPath(file).parent.as_posix().removeprefix(".")
        patient = patient_of.get(plain_name(file)) or (match[1] if match else "") or folder
        if patient:
            found[file] = patient
    return found


def read_salt(folder: Path) -> bytes:
    """Return the secret of a folder's codes, drawn once; whoever has it can test guesses of an id."""
    path = Path(folder) / _SALT
    if not path.is_file():
        write_whole(path, secrets.token_hex(16))
        path.chmod(0o600)
    return bytes.fromhex(path.read_text().strip())
