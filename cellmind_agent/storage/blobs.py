"""Content-addressed blobs on disk. A blob appears whole and verified, or not at all (I8).

    blobs/<first two digits>/<sha256>      whole, read-only
    blobs/partial/<sha256>                 the beginning of a blob that `cellmindctl` is pushing
    blobs/partial/<sha256>.chunks          a blob that arrives in chunks from other devices (`partial_blob`)

Both partial forms survive a restart and are resumed. When complete, they are hashed, and renamed if the hash is right.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cellmind_agent.protocol.blobs import BlobRef
from cellmind_agent.protocol.errors import BlobDamagedError, ProtocolError, StorageFullError, UnknownNameError
from cellmind_agent.protocol.ids import BlobId, parse_blob_id, short
from cellmind_agent.protocol.limits import CHUNK_BYTES, FREE_SPACE_FLOOR_BYTES, READ_BYTES
from cellmind_agent.storage.files import private_folder, sync_folder, translated_disk_errors
from cellmind_agent.storage.partial_blob import PartialBlob


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobStore:
    """All blobs together take at most `quota_bytes` (None: no quota), and leave `floor_bytes` of the disk free."""

    root: Path
    quota_bytes: int | None = None
    floor_bytes: int = FREE_SPACE_FLOOR_BYTES

    def prepare(self) -> None:
        """Make the folders."""
        private_folder(self.root)
        private_folder(self.root / "partial")

    def path(self, ref: BlobRef) -> Path:
        """The file of a whole blob. Raises UnknownNameError when the blob is not here."""
        if not self.has(ref):
            raise UnknownNameError("blob {blob} is not here", "cellmindctl sync", blob=short(ref.id))
        return self._whole(ref.id)

    def present(self, ref: BlobRef) -> int:
        """How many bytes of the blob are here, from its beginning; its size only when it is whole and verified."""
        if self.has(ref):
            return ref.size
        # A complete file that is not published yet is not verified: it must not look whole.
        return max(0, min(self._partial_size(ref), ref.size - 1))

    def has(self, ref: BlobRef) -> bool:
        """True when the whole blob is here. A peer's reference may state another size: then it is another blob."""
        try:
            return self._whole(ref.id).stat().st_size == ref.size
        except FileNotFoundError:
            return False

    def read(self, ref: BlobRef, offset: int, length: int) -> bytes:
        """Bytes of a whole blob. Raises UnknownNameError, ProtocolError (outside the blob, or longer than a chunk)."""
        if not 0 <= length <= CHUNK_BYTES or not 0 <= offset <= ref.size:
            raise ProtocolError(
                "cannot read {length} bytes at {offset} of a blob of {size}",
                length=length,
                offset=offset,
                size=ref.size,
            )
        with open(self.path(ref), "rb") as file:
            file.seek(offset)
            return file.read(length)

    def append(self, ref: BlobRef, offset: int, data: bytes) -> int:
        """Add the next bytes of a blob; returns how many are here now. Bytes that are here are not written again.

        Raises ProtocolError (a gap, or more bytes than the blob has), StorageFullError, BlobDamagedError (complete, but
        the hash is wrong: the bytes are deleted).
        """
        if self.has(ref):
            return ref.size
        here = self._partial_size(ref)
        if offset > here or offset + len(data) > ref.size:
            raise ProtocolError(
                "cannot add {num_data} bytes at {offset}: {here} of {size} bytes are here",
                num_data=len(data),
                offset=offset,
                here=here,
                size=ref.size,
            )
        fresh = data[here - offset :]
        self.check_space(len(fresh) if here else ref.size)
        with translated_disk_errors(), open(self._partial(ref.id), "ab") as file:
            file.write(fresh)
            if here + len(fresh) == ref.size:
                file.flush()
                os.fsync(file.fileno())
        if here + len(fresh) == ref.size:
            self._publish(ref, self._partial(ref.id))
        return here + len(fresh)

    def open_partial(self, ref: BlobRef, hashes: bytes) -> PartialBlob:
        """Start or resume a blob whose chunks have these hashes. Raises StorageFullError, BlobDamagedError."""
        pushed = self._partial(ref.id)
        chunks = pushed.with_name(f"{ref.id}.chunks")
        self.check_space(0 if chunks.exists() else ref.size)
        return PartialBlob(ref, hashes, chunks, sources=(pushed,))

    def finish(self, partial: PartialBlob) -> None:
        """Publish a complete blob. Raises BlobDamagedError when the hashes were wrong: then the bytes are deleted."""
        with open(partial.file, "rb") as file:
            os.fsync(file.fileno())
        self._publish(partial.ref, partial.file)
        self._partial(partial.ref.id).unlink(missing_ok=True)

    def adopt(self, path: Path) -> BlobRef:
        """Add a file of this home (a checkpoint) as a blob: linked where the file system allows it, else copied."""
        ref = ref_of_file(path)
        if not self.has(ref):
            partial = self._partial(ref.id)
            partial.unlink(missing_ok=True)
            try:  # a link costs no disk space: the checkpoint and its blob are one file
                os.link(path, partial)
            except OSError:
                self.check_space(ref.size)
                with translated_disk_errors():
                    shutil.copyfile(path, partial)
            self._place(ref.id, partial)
        return ref

    def check_space(self, extra_bytes: int) -> None:
        """Raises StorageFullError when so many more bytes would break the floor or the quota."""
        free = shutil.disk_usage(self.root).free
        if free - extra_bytes < self.floor_bytes:
            raise StorageFullError(
                "{extra} MB more would leave less than {floor} MB free",
                extra=extra_bytes >> 20,
                floor=self.floor_bytes >> 20,
            )
        if self.quota_bytes is not None and self.used_bytes() + extra_bytes > self.quota_bytes:
            raise StorageFullError(
                "{extra} MB more is over the {quota} MB that blobs may take",
                extra=extra_bytes >> 20,
                quota=self.quota_bytes >> 20,
            )

    def used_bytes(self) -> int:
        """The size of all blobs, whole and partial."""
        return sum(status.st_size for _, status in self._files())

    def collect_garbage(self, referenced: Iterable[BlobId], changed_before: float) -> int:
        """Remove the blobs, whole and partial, that are not referenced; returns the bytes freed.

        Blobs changed after `changed_before` (seconds since 1970) stay: a blob that was just pushed is not referenced
        yet.
        """
        keep, freed = set(referenced), 0
        for path, status in self._files():
            if path.name.partition(".")[0] not in keep and status.st_ctime < changed_before:
                freed += status.st_size
                path.unlink(missing_ok=True)
        return freed

    def remove(self, blobs: Iterable[BlobId]) -> None:
        """Remove these whole blobs, if they are here."""
        for blob in blobs:
            self._whole(blob).unlink(missing_ok=True)

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        """Every file of the store. One that another thread publishes or removes meanwhile is left out."""
        for path in self.root.glob("*/*"):
            try:
                status = path.stat()
            except FileNotFoundError:
                continue
            yield path, status

    def _partial_size(self, ref: BlobRef) -> int:
        try:
            return self._partial(ref.id).stat().st_size
        except FileNotFoundError:
            return 0

    def _publish(self, ref: BlobRef, partial: Path) -> None:
        if ref_of_file(partial) != ref:
            partial.unlink()
            raise BlobDamagedError("the bytes of blob {blob} do not match its name", blob=short(ref.id))
        self._place(ref.id, partial)

    def _place(self, blob: BlobId, partial: Path) -> None:
        whole = self._whole(blob)
        private_folder(whole.parent)
        # Nothing may change a blob after its hash was checked.
        partial.chmod(0o400)
        os.replace(partial, whole)
        sync_folder(whole.parent)

    def _whole(self, blob: BlobId) -> Path:
        parse_blob_id(blob)
        return self.root / blob[:2] / blob

    def _partial(self, blob: BlobId) -> Path:
        parse_blob_id(blob)
        return self.root / "partial" / blob


def ref_of_file(path: Path) -> BlobRef:
    """The reference of a blob with the file's contents."""
    digest, size = hashlib.sha256(), 0
    with open(path, "rb") as file:
        while data := file.read(READ_BYTES):
            digest.update(data)
            size += len(data)
    return BlobRef(id=BlobId(digest.hexdigest()), size=size)
