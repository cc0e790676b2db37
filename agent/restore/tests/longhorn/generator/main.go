// Makes the fixtures with Longhorn's own library: generator IMAGES STORE
//
// IMAGES holds 0.img, 1.img and 2.img, three states of one volume. STORE receives the backup target; what the library itself
// restores of each backup is hashed on standard output.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/longhorn/backupstore"
	"github.com/longhorn/backupstore/types"
)

// folder is a backup target in a folder.
type folder struct{ root string }

func (f folder) at(path string) string                  { return filepath.Join(f.root, path) }
func (f folder) Kind() string                           { return "folder" }
func (f folder) GetURL() string                         { return "folder://" + f.root }
func (f folder) Remove(path string) error               { return os.RemoveAll(f.at(path)) }
func (f folder) Read(src string) (io.ReadCloser, error) { return os.Open(f.at(src)) }
func (f folder) Upload(src, dst string) error           { panic("not used") }
func (f folder) Download(src, dst string) error         { panic("not used") }

func (f folder) FileExists(path string) bool {
	_, err := os.Stat(f.at(path))
	return err == nil
}

func (f folder) FileSize(path string) int64 {
	info, err := os.Stat(f.at(path))
	if err != nil {
		return -1
	}
	return info.Size()
}

func (f folder) FileTime(path string) time.Time {
	info, err := os.Stat(f.at(path))
	if err != nil {
		return time.Time{}
	}
	return info.ModTime().UTC()
}

func (f folder) Write(dst string, rs io.ReadSeeker) error {
	if err := os.MkdirAll(filepath.Dir(f.at(dst)), 0o755); err != nil {
		return err
	}
	out, err := os.Create(f.at(dst))
	if err != nil {
		return err
	}
	defer out.Close()
	_, err = io.Copy(out, rs)
	return err
}

func (f folder) List(path string) ([]string, error) {
	entries, err := os.ReadDir(f.at(path))
	if err != nil {
		return nil, err
	}
	names := []string{}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, nil
}

// volume gives the library snapshots that are files, as Longhorn's engine gives it its own.
type volume struct {
	images string
	ended  chan string
}

func (v volume) image(id string) string           { return filepath.Join(v.images, id+".img") }
func (v volume) HasSnapshot(id, _ string) bool    { _, err := os.Stat(v.image(id)); return err == nil }
func (v volume) OpenSnapshot(id, _ string) error  { return nil }
func (v volume) CloseSnapshot(id, _ string) error { return nil }
func (v volume) UpdateRestoreStatus(_ string, progress int, err error) {
	must(err)
	if progress == backupstore.PROGRESS_PERCENTAGE_BACKUP_TOTAL {
		v.ended <- ""
	}
}
func (v volume) Stop()                           {}
func (v volume) GetStopChan() chan struct{}      { return make(chan struct{}) }
func (v volume) CloseVolumeDev(f *os.File) error { return f.Close() }

func (v volume) OpenVolumeDev(name string) (*os.File, string, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	return f, name, err
}

func (v volume) CompareSnapshot(id, other, _ string, size int64) (*types.Mappings, error) {
	now, err := os.ReadFile(v.image(id))
	if err != nil {
		return nil, err
	}
	before := make([]byte, len(now))
	if other != "" {
		if before, err = os.ReadFile(v.image(other)); err != nil {
			return nil, err
		}
	}
	delta := &types.Mappings{BlockSize: size}
	for at := int64(0); at < int64(len(now)); at += size {
		if !bytes.Equal(now[at:at+size], before[at:at+size]) {
			delta.Mappings = append(delta.Mappings, types.Mapping{Offset: at, Size: size})
		}
	}
	return delta, nil
}

func (v volume) ReadSnapshot(id, _ string, start int64, data []byte) error {
	f, err := os.Open(v.image(id))
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.ReadAt(data, start)
	return err
}

func (v volume) UpdateBackupStatus(_, _, _ string, progress int, url, failed string) error {
	if url != "" || failed != "" {
		v.ended <- failed
	}
	return nil
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func wait(v volume) {
	if said := <-v.ended; said != "" {
		panic(said)
	}
	// It says so a little before it has closed everything.
	time.Sleep(time.Second)
	for len(v.ended) > 0 {
		<-v.ended
	}
}

func main() {
	images, store := os.Args[1], os.Args[2]
	target := "folder://" + store
	must(backupstore.RegisterDriver("folder", func(string) (backupstore.BackupStoreDriver, error) {
		return folder{store}, nil
	}))
	info, err := os.Stat(filepath.Join(images, "0.img"))
	must(err)
	for name, compression := range map[string]string{"pvc-lz4": "lz4", "pvc-gzip": "gzip", "pvc-none": "none", "pvc-small-blocks": "lz4"} {
		v := volume{images, make(chan string, 100)}
		snapshots := []string{"0", "1", "2"}
		parameters := map[string]string{}
		if name == "pvc-gzip" {
			snapshots = []string{"0"}
		}
		if name == "pvc-none" {
			snapshots = []string{"tiny"}
			parameters["backup-block-size"] = "65536"
		}
		if name == "pvc-small-blocks" {
			parameters["backup-block-size"] = "1Mi"
			snapshots = []string{"0"}
		}
		size := info.Size()
		if name == "pvc-none" {
			size = 256 << 10
		}
		for n, snapshot := range snapshots {
			_, err := backupstore.CreateDeltaBlockBackup("backup-"+snapshot, &backupstore.DeltaBackupConfig{
				BackupName: "backup-" + snapshot,
				Volume: &backupstore.Volume{Name: name, Size: size, CompressionMethod: compression,
					CreatedTime: "2026-11-20T03:00:00Z", DataEngine: "v1"},
				Snapshot:        &backupstore.Snapshot{Name: snapshot, CreatedTime: fmt.Sprintf("2026-11-2%dT03:00:00Z", n)},
				DestURL:         target,
				DeltaOps:        v,
				Labels:          map[string]string{},
				ConcurrentLimit: 1,
				Parameters:      parameters,
			})
			must(err)
			wait(v)
		}
		for _, snapshot := range snapshots {
			restored := filepath.Join(images, "restored.img")
			must(backupstore.RestoreDeltaBlockBackup(context.Background(), &backupstore.DeltaRestoreConfig{
				BackupURL:       backupstore.EncodeBackupURL("backup-"+snapshot, name, target),
				DeltaOps:        v,
				Filename:        restored,
				ConcurrentLimit: 1,
			}))
			wait(v)
			text, err := os.ReadFile(restored)
			must(err)
			fmt.Printf("%x  %s/backup-%s\n", sha256.Sum256(text), name, snapshot)
			must(os.Remove(restored))
		}
	}
}
