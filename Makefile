# `make run` and `make test` need nothing but Python 3.11+, make and a package index.
