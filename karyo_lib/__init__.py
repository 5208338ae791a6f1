"""karyo reads karyograms: normal or abnormal, how sure it is, and when a specialist must look.

A research tool, not a medical device.
"""

__version__ = "0.1.0"
