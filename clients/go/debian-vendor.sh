#!/bin/sh
# Makes vendor/ of the Go packages that Debian installs, so that nothing is fetched. Their versions are Debian's.
set -eu
cd "$(dirname "$0")"
for module in $(awk '$2 ~ /^v[0-9]/ { print $1 }' go.mod | sed 's,google.golang.org/genproto/.*,google.golang.org/genproto,'); do
    mkdir -p "vendor/$(dirname "$module")"
    ln -sfn "/usr/share/gocode/src/$module" "vendor/$module"
done
awk '$2 ~ /^v[0-9]/ { print "# " $1 " " $2 "\n## explicit" }' go.mod > vendor/modules.txt
