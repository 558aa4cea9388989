"""Turns the files of a dead process into what a power cut may have left of them.

The shim's journal says how to undo each change (shim.cc). Changes that a sync made durable stay.
Of the others, for each file, a random beginning stays (the first change that does not may stay in
part, in whole sectors), and so does a random beginning of the changes of names. That is less than
a real file system may do (it may keep any subset of sectors); the simulator does the rest.
"""
import os
import struct

ENTRY = struct.Struct('=8Q')
SECTOR = 512
(WRITE, TRUNCATE, CREATE, RENAME, REMOVE, LINK, MAKE_DIRECTORY, SYNCED,
 DIRECTORY_SYNCED) = range(1, 10)


class Change:
    def __init__(self, number, header, path, other, saved):  # number: its place in the journal
        _, self.kind, self.inode, self.offset, self.old_size, *_ = header
        self.number = number
        self.path = path
        self.other = other
        self.saved = saved

    def directories(self):
        """Whose sync makes this change of names durable: any of them, as ext4 and xfs do."""
        paths = [self.path, self.other] if self.kind == RENAME else [self.path]
        return {os.path.dirname(path) for path in paths}


def read_journal(path):
    with open(path, 'rb') as file:
        data = file.read()
    changes = []
    at = 0
    while at + ENTRY.size <= len(data):
        header = ENTRY.unpack_from(data, at)
        size, path_bytes, other_bytes = header[0], header[5], header[6]
        if at + size > len(data):
            break  # the process died in it, before the change itself
        start = at + ENTRY.size
        path = data[start:start + path_bytes].decode()
        other = data[start + path_bytes:start + path_bytes + other_bytes].decode()
        changes.append(Change(at, header, path, other,
                              data[start + path_bytes + other_bytes:at + size]))
        at += size
    return changes


def lost_changes(changes, random, keep):
    """The numbers of those that the power cut undoes; `keep`: the chance to keep a beginning."""
    synced = {}
    directories = {}
    for change in changes:
        if change.kind == SYNCED:
            synced[change.inode] = change.offset
        elif change.kind == DIRECTORY_SYNCED:
            directories[change.path] = change.offset
    contents = {}
    names = []
    for change in changes:
        if change.kind in (WRITE, TRUNCATE):
            if change.number >= synced.get(change.inode, 0):
                contents.setdefault(change.inode, []).append(change.number)
        elif change.kind in (CREATE, RENAME, REMOVE, LINK, MAKE_DIRECTORY):
            if all(change.number >= directories.get(where, 0) for where in change.directories()):
                names.append(change.number)
    lost = set()
    torn = set()
    for numbers in [*contents.values(), names]:
        kept = random.randint(0, len(numbers)) if random.random() < keep else 0
        lost.update(numbers[kept:])
        if kept and kept < len(numbers) and numbers is not names:
            torn.add(numbers[kept])
    return lost, torn


class Files:
    """The files below a directory, by inode: names may change while changes are undone."""

    def __init__(self, roots):
        self.open = {}
        for root in roots:
            for folder, _, names in os.walk(root):
                for name in names:
                    self.add(os.path.join(folder, name))

    def add(self, path):
        inode = os.stat(path, follow_symlinks=False).st_ino
        if inode not in self.open:
            self.open[inode] = os.open(path, os.O_RDWR)

    def close(self):
        for descriptor in self.open.values():
            os.close(descriptor)


def undo_content(files, change, random, torn):
    descriptor = files.open.get(change.inode)
    if descriptor is None:
        return
    if torn and change.kind == WRITE and os.fstat(descriptor).st_size > change.old_size:
        # Some sectors of the growth came through; the size may only cover those.
        grown = os.fstat(descriptor).st_size - change.offset
        kept = change.offset + random.randint(0, max(0, grown)) // SECTOR * SECTOR
        os.ftruncate(descriptor, max(change.old_size, kept))
        return
    saved = change.saved
    offset = change.offset
    if torn:
        kept = random.randint(0, len(saved)) // SECTOR * SECTOR
        saved, offset = saved[kept:], offset + kept
    if saved:
        os.pwrite(descriptor, saved, offset)
    os.ftruncate(descriptor, change.old_size)


def undo_name(change):
    if change.kind == RENAME:
        if os.path.lexists(change.other):
            os.makedirs(os.path.dirname(change.path), exist_ok=True)
            os.rename(change.other, change.path)
            if change.saved:  # it had taken another file's name
                os.link(change.saved.decode(), change.other)
    elif change.kind == REMOVE:
        if change.other and os.path.lexists(change.other) and not os.path.lexists(change.path):
            os.makedirs(os.path.dirname(change.path), exist_ok=True)
            os.link(change.other, change.path)
    elif change.kind in (CREATE, LINK):
        if os.path.lexists(change.path):
            os.unlink(change.path)
    elif change.kind == MAKE_DIRECTORY and os.path.isdir(change.path):
        for folder, folders, names in os.walk(change.path, topdown=False):
            for name in names:
                os.unlink(os.path.join(folder, name))
            os.rmdir(folder)


def graves(journal):
    folder, name = os.path.split(journal)
    return [os.path.join(folder, found) for found in os.listdir(folder)
            if found.startswith(name + '.grave-')]


def power_cut(directory, journal, random, keep=0.7):
    """The process is dead. Returns how many changes were undone, and begins a new journal."""
    if not os.path.exists(journal):
        return 0
    changes = read_journal(journal)
    lost, torn = lost_changes(changes, random, keep)
    files = Files([directory])
    for grave in graves(journal):
        files.add(grave)
    for change in reversed(changes):
        if change.number not in lost:
            continue
        if change.kind in (WRITE, TRUNCATE):
            undo_content(files, change, random, change.number in torn)
        else:
            undo_name(change)
    files.close()
    os.unlink(journal)
    for grave in graves(journal):
        os.unlink(grave)
    return len(lost)
