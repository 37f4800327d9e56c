#!/usr/bin/env bash
# The real image's script of this name also compiles a library that makes processes see the host's name as the service
# gives it; the harness names the host itself. What is the same: bash stays process 1, and arguments are split at blanks.
if [[ "$1" = "train" ]]; then
    train
else
    eval "$@"
fi
