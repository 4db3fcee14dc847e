"""Builds the image of the Dockerfile without Docker and without a registry, and starts it as Kubernetes would.

    python -m tools.image TARGET

`base.py` makes the base image with debootstrap, `build.py` has Buildah carry out every step of the Dockerfile on it in
a chroot, and `container.py` starts the result: without root, on a read-only file system, with the image's own entry
point. Needs root, and Debian's packages buildah and debootstrap.
"""
