"""Orders that no database sorts by."""

from __future__ import annotations

from array import array


def in_turns(numbers: array[int]) -> array[int]:
    """Return the smallest, the largest, the second smallest, the second largest and so on, of what is sorted by size:
    neither the calls that small files cost nor the bytes of large ones wait for the others."""
    mixed = array(numbers.typecode, numbers)
    half = (len(numbers) + 1) // 2
    mixed[::2] = numbers[:half]
    mixed[1::2] = numbers[half:][::-1]
    return mixed


def by_address(numbers: array[int], devices: array[int], addresses: array[int]) -> array[int]:
    """Return `numbers` in the order in which their content lies on each device; what has no address (-1) comes first
    there, in the order in which it is.

    Args:
        devices, addresses: of each of `numbers`, by position.
    """
    positions = sorted(range(len(numbers)), key=addresses.__getitem__)
    positions.sort(key=devices.__getitem__)
    return array(numbers.typecode, (numbers[i] for i in positions))
