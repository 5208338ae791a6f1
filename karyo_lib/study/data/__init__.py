"""Steps of notebooks 01 and 02: the karyograms, their copies, what of them could tell a label."""
