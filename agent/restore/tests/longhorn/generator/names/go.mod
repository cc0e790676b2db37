module github.com/longhorn/go-common-libs

go 1.23.0
