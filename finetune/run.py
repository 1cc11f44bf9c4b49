"""The bundle's `run.py`: trains on the GPU machine; `python3 run.py --help` lists the options.

The bundle holds it beside the packages it needs, so nothing has to be installed or on any path.
"""

import os
import sys
from pathlib import Path

# Rows differ in length from step to step; without this the GPU's memory falls to pieces.
os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TQDM_DISABLE", "1")

sys.path.insert(0, str(Path(__file__).parent))  # also where Python leaves out the script's folder

from finetune.gpu import main

if __name__ == "__main__":
    sys.exit(main())
