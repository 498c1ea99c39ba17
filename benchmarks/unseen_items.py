"""Writes the pack of configs/experiments/frontier-confirm.yaml: items that the two-round frontier did not use.

All of physics that was not held out in configs/loops/frontier-rounds.yaml, and every second of earth science that was
not trained on.

    python benchmarks/unseen_items.py runs/unseen.yaml
"""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

from agents.packs import load_pack
from sim.load import load_config

ROOT = Path(__file__).resolve().parents[1]
LOOP = ROOT / "configs" / "loops" / "frontier-rounds.yaml"


def write_unseen(out: Path) -> int:
    """Writes the pack and returns its number of items."""
    loop, items = load_config(LOOP), []
    pack: dict[str, object] = {}
    for used, step in ((loop.loop.heldout.items, 1), (loop.items, 2)):
        seen = {item.id for item in load_pack(used.pack).spread(used.limit)}
        pack = yaml.safe_load((ROOT / "agents" / "data" / "packs" / f"{used.pack}.yaml").read_text(encoding="utf-8"))
        shipped = pack["items"]
        assert isinstance(shipped, list)
        items += [item for item in shipped if item["id"] not in seen][::step]
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(yaml.safe_dump({**pack, "name": "unseen", "items": items}), encoding="utf-8")
    return len(items)


if __name__ == "__main__":
    path = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/unseen.yaml")
    print(f"{path}: {write_unseen(path)} items")
