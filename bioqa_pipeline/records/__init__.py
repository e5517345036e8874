"""The nouns of the pipeline, one frozen dataclass a stage.

Text is NFC and final before it reaches a record: every character offset below is a half-open
range of Unicode code points into that very text. Nothing here knows files, tensors or Prefect.
"""
