#!/bin/bash
# Waits until all the files are there, as the KWIC 5 tutorials have their gateways wait for certificates.
set -u
for file; do
  [[ -f $file ]] || echo "wait-for-files: waiting for $file"
  until [[ -f $file ]]; do sleep 0.2; done
done
