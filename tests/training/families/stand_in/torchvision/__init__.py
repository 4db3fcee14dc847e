"""What must be there for Qwen2.5-Omni's processor to be made, whose video part imports torchvision; its wheels on the
index are built for CUDA and do not import beside a CPU build of torch. No image or video goes through here.
"""

__version__ = "0"
