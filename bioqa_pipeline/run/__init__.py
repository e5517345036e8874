"""The main job: questions in, a committed data set and a manifest out."""
