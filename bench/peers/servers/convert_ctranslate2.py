"""python convert_ctranslate2.py FOLDER OUTPUT: a Hugging Face folder to CTranslate2's form, in int8."""

import sys

from ctranslate2.converters import TransformersConverter

TransformersConverter(sys.argv[1], low_cpu_mem_usage=True).convert(sys.argv[2], quantization="int8", force=True)
