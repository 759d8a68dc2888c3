"""The synthetic Chinese-English corpus of the two demonstration models."""
