"""The changes that stores have seen, one file each in `versions/`. docs/migrations.md tells how to write one."""
