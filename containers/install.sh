#!/bin/sh
# Runs while an image is built: installs locks into /opt/venv, prunes what no component uses, compiles the rest.
#
#   install.sh LOCK...     each the name of a file in requirements/, without .txt
#
# --no-deps: a lock is complete, and kfp is wanted without what its client needs.
set -eu

build_dir=/run/build # every mount is in it; they leave one empty directory in the image
export UV_CACHE_DIR=$build_dir/cache
if [ -s $build_dir/ca ]; then export SSL_CERT_FILE=$build_dir/ca; fi
for lock in "$@"; do set -- "$@" --requirements "$build_dir/requirements/$lock.txt" && shift; done
$build_dir/installer/bin/uv pip install --quiet --python /opt/venv/bin/python3 --link-mode copy \
    --no-deps --require-hashes --build-constraints $build_dir/requirements/build.txt "$@"

site_dir=$(/opt/venv/bin/python3 -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
# C++ headers, and the compiler library that only TensorFlow's own build needs: 0.3 GB.
rm -rf "$site_dir/tensorflow/include" "$site_dir/clang"
/opt/venv/bin/python3 $build_dir/installer/compile_bytecode.py "$site_dir"
