// Package backup stands for the package of github.com/longhorn/go-common-libs that the library takes these words from: the
// module proxy has not got the version that it wants.
package backup

// LonghornBackupMode is full or incremental.
type LonghornBackupMode string

// Keys and values of a backup's parameters.
const (
	LonghornBackupParameterBackupMode      = "backup-mode"
	LonghornBackupParameterBackupBlockSize = "backup-block-size"

	LonghornBackupModeFull = LonghornBackupMode("full")
)
