"""Examples of every command, which its --help ends with."""

from __future__ import annotations

EXAMPLES: dict[str, tuple[str, ...]] = {
    "explain": (
        "camlucida explain cat.jpg",
        'camlucida explain cat.jpg --target "tiger cat,boxer" -o out.png',
        "camlucida explain photos/ --method grad_cam,layer_cam --maps",
        'camlucida explain cat.jpg --model openclip:ViT-B-32 --prompts "a dog, a cat"',
        "camlucida explain cat.jpg --like dog.jpg",
        "camlucida explain cat.jpg --model hf:/path/blip --words",
        'camlucida explain cat.jpg --model hf:/path/vilt --question "What is this?"',
        "find . -name '*.jpg' | camlucida explain - --model toybox",
    ),
    "activations": (
        'camlucida activations cat.jpg --layer layer3 --target "tiger cat"',
        "camlucida activations photos/ --layer layer4 --channel 12 --top 9",
    ),
    "concepts": ("camlucida concepts photos/ --layer layer4 -k 6",),
    "evaluate": (
        "camlucida evaluate toybox --method cam,grad_cam --limit 50",
        "camlucida evaluate photos/ --boxes boxes.csv --report report.html",
        "camlucida evaluate runs/dogs --recipe cam-vs-gradcam",
        "camlucida evaluate toybox:2 --model toybox:detector --target all --limit 50",
    ),
    "audit": (
        "camlucida audit photos/ --model resnet50 -o audits/dogs",
        "camlucida audit toybox --method grad_cam,hires_cam --limit 200",
        "camlucida audit runs/dogs --layer layer3,layer4 --findings none",
        "camlucida audit photos/ --model resnet50 -o audits/dogs --shard 0/4",
        "camlucida audit toybox --model toybox:detector --target all -o audits/boxes",
    ),
    "query": (
        'camlucida query audits/dogs "wrong and entropy < .5" --panel out.png',
        'camlucida query audits/dogs "energy_in_box < .2" --sort-by confidence',
        'camlucida query audits/dogs "label == predicted" --csv correct.csv',
        'camlucida query audits/boxes "missed and size < .05" --panel out.png',
        "camlucida query audits/dogs error --json",
    ),
    "data check": ("camlucida data check photos/ --split train",),
    "report": ("camlucida report camlucida-out/evaluation -o report.html",),
    "export": (
        'camlucida export audits/dogs --format coco --where "energy_in_box<.2"',
        "camlucida export audits/dogs --format model-card -o README.md",
    ),
    "train": (
        "camlucida train photos/ --arch resnet50 --epochs 2 -o runs/dogs",
        "camlucida train toybox --augment flip,crop --keep-epochs",
    ),
    "sanity": (
        "camlucida sanity toybox --method grad_cam,guided_backprop",
        "camlucida sanity 'photos/*.jpg' --model resnet50 --checks cascading",
        'camlucida sanity toybox --model toybox:detector --target "box 1"',
    ),
    "study make": ("camlucida study make photos/ --method grad_cam,layer_cam -o study",),
    "study results": ("camlucida study results study --json",),
    "trust": (
        "camlucida trust cat.jpg",
        "camlucida trust photos/ --windows 16 --quiet",
    ),
    "mistakes": ("camlucida mistakes runs/dogs --top 24",),
    "embed": ("camlucida embed photos/ --model resnet50 --projection pca",),
    "film": ("camlucida film cat.jpg --checkpoints runs/dogs -o film.png",),
    "app": ("camlucida app --model resnet50 --data photos/ --browser",),
    "demo": ("camlucida demo -o demo",),
    "layers": (
        "camlucida layers vgg16 --conv --csv layers.csv",
        "camlucida layers vit_b_16 --depth 3 --explain-choice",
    ),
    "models": ("camlucida models --search convnext",),
    "cache": ("camlucida cache", "camlucida cache --clear"),
    "completion": (
        "camlucida completion zsh --install",
        "camlucida completion bash > /etc/bash_completion.d/camlucida",
    ),
}
"""The examples by the name of the command. A quoted argument may contain a comma or a glob."""


def epilogue(command: str) -> str:
    """Return the examples of a command as the end of its --help: a heading and a block of code."""
    return "Examples:\n\n" + "".join(f"    {line}\n" for line in EXAMPLES[command])
