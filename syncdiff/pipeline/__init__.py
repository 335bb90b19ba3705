"""What all stages share: files, ledgers, parallel work, progress, provenance, the stages' versions."""
