"""Open models from elsewhere as plain Hugging Face folders: `reckon backbone import`.

Entry point: `reckon.backbone_import.importing.import_backbone`.
"""
