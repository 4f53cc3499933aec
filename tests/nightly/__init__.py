"""What is too heavy for every run, by `make nightly`: consumers with hundreds of packages. Not found by `make test`."""
