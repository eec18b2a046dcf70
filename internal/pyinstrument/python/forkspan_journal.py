"""Writes a journal of spans as forkspan's journal/FORMAT.md, version 1, says: it survives any death of the process."""

import os
import sys
from _thread import RLock
from os import O_CREAT, O_EXCL, O_RDONLY, O_RDWR, close, dup, fstat, getpid, lseek, read, unlink, urandom, write
from _struct import pack, pack_into
from time import monotonic
from zlib import crc32

try:
    import mmap
    from os import posix_fallocate, pwrite
except ImportError:
    mmap = posix_fallocate = pwrite = None
try:
    from fcntl import LOCK_EX, LOCK_NB, flock
except ImportError:
    flock = None

# All that is needed is in names of this module: at the interpreter's end, others are empty already.

START, END, CONTEXT = 1, 2, 3  # kinds of records

HEADER = 128  # bytes
FIRST_SEGMENT = 128 << 10  # bytes: most short processes need no more
SECOND_SEGMENT = 1 << 20
SEGMENT = 4 << 20  # of the third and all others: mapped memory holds a file descriptor each
MOST_SEGMENT = 64 << 20
MOST = 256 << 20  # bytes that the files of a process take together
RETRY = 0.1  # seconds until the next try after a file could not be made

_MAPPABLE = ("ext4", "xfs", "tmpfs")  # on others a mapping may kill the program although the room was allocated
_open = os.open
_CLOEXEC = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_LOW = 64  # file descriptors below this are left to the program, which may count on their numbers


class Full(Exception):
    """There is no room, or shall be none."""


class Segment:
    """A file. mem and words are its mapped memory, as bytes and in words of 8; None when it is written by system calls."""

    __slots__ = ("path", "fd", "key", "size", "used", "sequence", "contexts", "mem", "words")

    def __init__(self, path, size, map_it):
        self.path, self.size, self.used, self.sequence = path, size, HEADER, 0
        self.contexts = set()
        self.mem = self.words = None
        opened = []
        try:
            fd = _open_high(path, O_RDWR | O_CREAT | O_EXCL, opened)
            stat = fstat(fd)
            self.key = (stat.st_dev, stat.st_ino)
            _lock(fd)
            if map_it:
                posix_fallocate(fd, 0, size)
                self.mem, self.fd = _map(fd, size)
                self.words = memoryview(self.mem).cast("Q")
            else:
                self.fd = fd
                opened.remove(fd)
        except FileExistsError:
            raise  # somebody else's
        except BaseException:
            _remove(path)
            raise
        finally:
            while opened:
                close(opened.pop())

    def owned(self):
        """Whether the descriptor is still ours: a program may close all that it does not know, and use the numbers again."""
        try:
            stat = fstat(self.fd)
        except OSError:
            return False
        return (stat.st_dev, stat.st_ino) == self.key

    def write(self, data, at):
        if self.mem is not None:
            self.mem[at : at + len(data)] = data
            return
        if not self.owned():
            raise Full
        if pwrite:
            n = pwrite(self.fd, data, at)
        else:
            lseek(self.fd, at, 0)
            n = write(self.fd, data)
        if n != len(data):
            raise Full

    def begin(self, identity, sequence):
        """Writes the header."""
        header = bytearray(HEADER)
        pack_into("<8sHH4xII", header, 0, b"forkspan", 1, HEADER, identity[0], 0)
        pack_into("<Q16s16sQI", header, 24, *identity[1:], sequence)
        pack_into("<I", header, 12, crc32(memoryview(header)[16:120]))
        self.sequence, self.used = sequence, HEADER
        self.contexts.clear()
        if self.mem is None:
            self.write(bytes(header), 0)
            return
        self.words[0] = 0
        self.mem[8:HEADER] = bytes(header[8:])
        self.words[0] = int.from_bytes(header[:8], "little")

    def put(self, kind, context, payload):
        """Appends a record, for which there is room."""
        at, n = self.used, len(payload)
        size = record_size(n)
        head = pack("<IBBHI", 8 + n, 0, kind, 0, context)
        check = crc32(payload, crc32(head))
        if self.mem is None:
            self.used = at + size  # also if it fails: nobody knows how much was written
            try:
                self.write(b"".join((pack("<I", check), head, payload, bytes(size - 16 - n))), at)
            except BaseException:
                self.used = self.size
                raise
            return
        try:
            self.mem[at + 8 : at + 16 + n] = head[4:] + payload
            # Sum and length at once, and last: where there is a length, there is a record.
            self.words[at >> 3] = check | (8 + n) << 32
            self.used = at + size
        except BaseException:  # the user's signal handler has raised
            if self.words[at >> 3]:
                self.used = at + size
            else:
                self.mem[at + 8 : at + 16 + n] = bytes(8 + n)
            raise

    def consumed(self):
        return self.mem is not None and self.mem[120:124] == pack("<I", self.sequence)

    def recycle(self, identity):
        used = self.used
        self.begin(identity, 0)  # from here on nobody reads records in it
        self.mem[HEADER:used] = bytes(used - HEADER)

    def abandon(self):
        """Lets go of the file: of one that a forked child has inherited, or of one that could not be begun."""
        mem, words = self.mem, self.words
        self.mem = self.words = None
        if not self.owned():
            _kept.append((mem, words))  # closing it would close a file of the program
        elif mem is None:
            close(self.fd)
        else:
            words.release()
            mem.close()


_kept = []


def _open_high(path, flags, opened):
    """Opens a file with a descriptor that the program does not expect, and returns it. opened gets it too, and others that have to
    be closed afterwards: until then no lower descriptor is free.
    """
    # A signal handler of the program may raise an exception between any two calls from here, but not within one: extend calls
    # and keeps what was opened.
    opened.extend(map(_open, (path,), (flags | _CLOEXEC,), (0o600,)))
    try:
        while opened[-1] < _LOW:
            opened.extend(map(dup, opened[-1:]))
    except OSError:
        pass
    return opened[-1]


def _map(fd, size, **access):
    """Maps a file. Returns the mapping and the descriptor that it holds, most likely."""
    spare = dup(fd)
    close(spare)
    return mmap.mmap(fd, size, **access), spare


def _remove(path):
    try:
        unlink(path)
    except OSError:
        pass


class Reader:
    """Whether somebody follows the journals of a folder."""

    SIZE = 16

    def __init__(self, folder, map_it):
        self.mem = None
        opened = []
        try:
            fd = _open_high(os.path.join(folder, "reader"), O_RDONLY, opened)
            if map_it:
                self.mem, self.fd = _map(fd, self.SIZE, access=mmap.ACCESS_READ)
            else:
                self.fd = fd
                opened.remove(fd)
        finally:
            while opened:
                close(opened.pop())

    def follows(self):
        if self.mem is not None:
            return self.mem[12:16] == b"\0\0\0\0"
        try:
            lseek(self.fd, 0, 0)
            data = read(self.fd, self.SIZE)
        except OSError:
            return False
        return data[:8] == b"forkspan" and data[12:] == b"\0\0\0\0"


def record_size(n):
    """The bytes that a record with n bytes of payload takes."""
    return (16 + n + 7) & ~7


def _lock(fd):
    try:
        if flock:
            flock(fd, LOCK_EX | LOCK_NB)
    except OSError:
        pass  # the pid has to do


def _mappable(folder):
    """Whether files in the folder may be mapped, once they have been allocated."""
    if sys.byteorder != "little" or not posix_fallocate:
        return False
    try:
        dev = os.stat(folder).st_dev  # of a folder: those of overlayfs have their own, and not all of its files
        wanted = b"%d:%d" % (os.major(dev), os.minor(dev))
        for line in _read("/proc/self/mountinfo").splitlines():
            fields = line.split(b" ")
            if len(fields) > 6 and fields[2] == wanted:
                return fields[fields.index(b"-") + 1].decode() in _MAPPABLE
    except (OSError, ValueError, IndexError):
        pass
    return False


def _read(path):
    fd = _open(path, O_RDONLY | _CLOEXEC)
    try:
        parts = []
        while True:
            parts.append(read(fd, 65536))
            if not parts[-1]:
                return b"".join(parts)
    finally:
        close(fd)


def process_start():
    """When this process began, in clock ticks since the boot; 0 when not known."""
    try:
        stat = _read("/proc/self/stat")
        return int(stat[stat.rindex(b")") + 1 :].split()[19])
    except (OSError, ValueError, IndexError):
        return 0


def _identity(pid):
    try:
        boot = bytes.fromhex(_read("/proc/sys/kernel/random/boot_id").decode().replace("-", ""))
    except (OSError, ValueError):
        boot = b""
    try:
        namespace = os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        namespace = 0
    return (pid, process_start(), urandom(16), boot.ljust(16, b"\0")[:16], namespace)


class Journal:
    """The journal of this process: a forked child goes on with one of its own. Safe for concurrent use, also by signal
    handlers and finalizers that interrupt it. Files are made when there is something to write. Raises OSError when nobody follows the
    folder.
    """

    def __init__(self, folder):
        self.folder = folder
        self.mappable = _mappable(folder)
        self.reader = Reader(folder, self.mappable)
        self.contexts = {}  # record -> number
        self.records = []  # of contexts, by number
        self.pid = None
        self._begin()

    def _begin(self):
        self.pid = getpid()
        self.identity = None
        self.lock = RLock()
        self.busy = False
        self.waiting = []
        self.cur = None
        self.full = []
        self.files = self.size = self.sequence = 0
        self.retry = 0.0
        self.ended = False
        self.lost = 0  # records

    def forked(self):
        """Begins anew, in a forked child."""
        segments = self.full + ([self.cur] if self.cur else [])
        self._begin()
        for s in segments:
            s.abandon()

    def context(self, record):
        """The number of an encoded context."""
        n = self.contexts.get(record)
        if n is None:
            with self.lock:
                n = self.contexts.setdefault(record, len(self.contexts))
                if n == len(self.records):
                    self.records.append(record)
        return n

    def append(self, kind, context, payload):
        """Writes a record. Returns whether it is safe now."""
        if getpid() != self.pid:
            self.forked()
        with self.lock:
            if self.busy:  # of this very thread, which a signal or the garbage collector has interrupted
                self.waiting.append((kind, context, payload))
                return True
            self.busy = True
            try:
                written = self._put(kind, context, payload)
                while self.waiting:
                    self._put(*self.waiting[0])
                    del self.waiting[0]  # not before: a signal handler may raise between the two
                return written
            finally:
                self.busy = False

    def _put(self, kind, context, payload):
        try:
            if self.ended or not self.reader.follows():
                raise Full
            s = self.cur
            need = record_size(len(payload))
            if s is None or context not in s.contexts:
                about = self.records[context]
                need += record_size(len(about))
            if s is None or s.used + need > s.size:
                about = self.records[context]
                s = self._advance(record_size(len(payload)) + record_size(len(about)))
            if context not in s.contexts:
                s.put(CONTEXT, context, about)
                s.contexts.add(context)
            s.put(kind, context, payload)
            # If the reader stops just now it may not have seen the record.
            if self.reader.follows():
                return True
            raise Full
        except (Full, OSError, ImportError, ValueError):
            self.lost += 1
            return False

    def _advance(self, need):
        s = next((s for s in self.full if s.size - HEADER >= need and s.consumed()), None)
        try:
            if s is None:
                s = self._create(need)
            else:
                s.recycle(self.identity)
                self.full.remove(s)
            s.begin(self.identity, self.sequence + 1)
        except BaseException:
            if s is not None:
                if s in self.full:
                    self.full.remove(s)
                self.size -= s.size
                _remove(s.path)
                s.abandon()
            raise
        self.sequence += 1
        before, self.cur = self.cur, s
        if before is not None:
            self.full.append(before)
            try:
                before.write(pack("<I", 1), 124)
            except (Full, OSError):
                pass  # a hint for readers
        return s

    def _create(self, need):
        if monotonic() < self.retry:
            raise Full
        size = (FIRST_SEGMENT, SECOND_SEGMENT, SEGMENT)[min(self.sequence, 2)]
        size = max(size, (HEADER + need + 4095) & ~4095)
        if self.size + size > MOST or need > MOST_SEGMENT:
            raise Full
        if self.identity is None:
            self.identity = _identity(self.pid)
        self.files += 1  # also if it fails: what is left of it must not be in the way of the next
        name = "%d-%s.%06d.journal" % (self.pid, self.identity[2].hex(), self.files)
        try:
            s = Segment("%s/%s" % (self.folder, name), size, self.mappable)
        except (OSError, ImportError, ValueError):
            self.retry = monotonic() + RETRY
            raise
        self.size += size
        return s

    def reserve(self, kind, context, payload):
        """Prepares the last record, of whose payload some bytes are not yet known. Returns how finish can write it, or None
        when it cannot: then nothing was done. Nothing else can be written any more.
        """
        if getpid() != self.pid or self.ended or self.cur is None or not self.reader.follows():
            return None
        s, need = self.cur, record_size(len(payload))
        if s.mem is None or context not in s.contexts or s.used + need > s.size:
            return None
        self.ended = True
        head = pack("<IBBHI", 8 + len(payload), 0, kind, 0, context)
        s.mem[s.used + 8 : s.used + 16] = head[4:]
        return s.mem, s.words, s.used, crc32(head), 8 + len(payload)

    def end(self):
        """The process ends in order: nothing follows."""
        if getpid() != self.pid or self.ended:
            return
        self.ended = True
        if self.cur is not None:
            self.cur.write(pack("<I", 2), 124)


def finish(place, payload, crc32=crc32):
    """Writes the record that was reserved, and ends the journal. Needs no builtins: there are none so late."""
    mem, words, at, check, length = place
    mem[at + 16 : at + 8 + length] = payload
    words[at >> 3] = crc32(payload, check) | length << 32
    mem[124:128] = b"\2\0\0\0"
