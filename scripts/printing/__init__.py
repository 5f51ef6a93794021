"""The print edition: the built pages as one document, printed by a headless Chromium."""
