"""What the commands say and take; no Prefect in here, so that --help answers at once."""
