"""Small faults planted in the library, one at a time, to see whether its tests notice."""
