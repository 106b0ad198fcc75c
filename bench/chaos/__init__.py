"""Fifty `kill -9` of a gateway under load, and then: was every promise kept?"""
