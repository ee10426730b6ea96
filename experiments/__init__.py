"""What ReDream was measured by, a package for each study."""
