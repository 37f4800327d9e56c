"""Which image does a step really run in?

In this order: the caller's override → the real image in the engine → the real image pulled → a stand-in. Every
result says which it was.
"""

from __future__ import annotations

import concurrent.futures
import threading
from typing import TYPE_CHECKING, Any

from harness.engine.images import standins
from harness.engine.images.registry import PullPolicy, Registries
from harness.errors import EngineError, HarnessError, ImageError
from harness.results import ImageUse
from harness.service.image_uris import parse_image_uri

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import docker

__all__ = ["ImageResolver"]

_AT_ONCE = 2


class ImageResolver:
    """Finds images for one run; every URI is looked up once, whatever the number of steps that name it."""

    def __init__(
        self,
        client: docker.DockerClient,
        *,
        overrides: Mapping[str, str],
        pull: PullPolicy | None = None,
        ecr_login: bool = False,
        progress: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Keep the caller's wishes; see `Registries` for the pull policy."""
        self.client = client
        self.overrides = dict(overrides)
        self.registries = Registries(client, policy=pull, ecr_login=ecr_login)
        self.progress = progress
        self._found: dict[str, ImageUse | HarnessError] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def resolve_all(self, uris: Iterable[str], *, dry: bool = False) -> dict[str, ImageUse | HarnessError]:
        """Look several images up at the same time; what is not to be had comes back as its error."""
        wanted = list(dict.fromkeys(uris))

        def one(uri: str) -> ImageUse | HarnessError:
            try:
                return self.resolve(uri, dry=dry)
            except (ImageError, EngineError) as error:
                return error

        with concurrent.futures.ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
            return dict(zip(wanted, pool.map(one, wanted), strict=True))

    def resolve(self, uri: str, *, dry: bool = False) -> ImageUse:
        """Find the image for a URI.

        Args:
            uri: As the definition names it.
            dry: Only say what would be used; nothing is pulled or built.

        Raises:
            ImageError: Nobody has it.

        """
        with self._lock:
            lock = self._locks.setdefault(uri, threading.Lock())
        with lock:
            found = self._found.get(uri)
            if found is None:
                try:
                    found = self._resolve(uri, dry=dry)
                except ImageError as error:
                    found = error
                if not dry:
                    self._found[uri] = found
        if isinstance(found, HarnessError):
            raise found
        return found

    def _resolve(self, uri: str, *, dry: bool) -> ImageUse:
        if uri in self.overrides:
            return self._overridden(uri, self.overrides[uri])
        parsed = parse_image_uri(uri)
        policy = self.registries.policy_for(parsed)
        here = self._inspect(uri)
        tried = ["not in the engine"]
        if policy == "always" or (policy == "missing" and here is None):
            why_not = self.registries.has(parsed)
            if not why_not:
                if not dry:
                    self.registries.pull(parsed, self.progress)
                    here = self._inspect(uri)
                return self._use(uri, uri, "pulled", here, detail="to be pulled" if dry else "")
            tried.append(f"not pulled: {why_not}")
        elif here is None:
            tried.append("not pulled: its registry is not in the engine's credential store (--pull missing tries it)")
        if here is not None:
            return self._use(uri, uri, "engine", here)
        stand_in = standins.find(parsed)
        if stand_in is None:
            raise ImageError(
                f"nobody has the image {uri}: {'; '.join(tried)}; there is no stand-in for it",
                remedy=f"pull or build it, try --pull missing (ECR: --ecr-login), or name another: --image {uri}=LOCAL",
            )
        return self._stand_in(uri, stand_in, dry=dry)

    def _overridden(self, uri: str, local: str) -> ImageUse:
        here = self._inspect(local)
        if here is None:
            stand_in = standins.find(parse_image_uri(local))
            if stand_in is None:
                raise ImageError(
                    f"the image {local}, given for {uri}, is not in the engine", remedy=f"docker pull {local}"
                )
            local = self._build(stand_in)
            here = self._inspect(local)
        return self._use(uri, local, "override", here, detail=local)

    def _stand_in(self, uri: str, stand_in: standins.StandIn, *, dry: bool) -> ImageUse:
        tag = stand_in.local_tag
        if not standins.is_built(self.client, stand_in):
            if dry:
                return self._use(
                    uri, tag, "stand-in", None, detail=f"{stand_in.name}, to be built", differences=stand_in.differences
                )
            tag = self._build(stand_in)
        return self._use(
            uri, tag, "stand-in", self._inspect(tag), detail=stand_in.name, differences=stand_in.differences
        )

    def _build(self, stand_in: standins.StandIn) -> str:
        # A public Python base may be pulled unless the caller said never.
        allow_pull = self.registries.policy != "never"
        return standins.build(self.client, stand_in, progress=self.progress, allow_pull=allow_pull)

    def _inspect(self, reference: str) -> dict[str, Any] | None:
        from docker.errors import APIError, ImageNotFound  # noqa: PLC0415
        from requests.exceptions import RequestException  # noqa: PLC0415

        try:
            api: Any = self.client.api
            return dict(api.inspect_image(reference))
        except ImageNotFound:
            return None
        except APIError as error:
            if error.status_code == 400:  # noqa: PLR2004 – the engine finds the name malformed
                raise ImageError(f"{reference!r} is no image name: {error.explanation}") from error
            raise EngineError(f"looking for the image {reference}: {error.explanation}") from error
        except RequestException as error:
            raise EngineError(f"looking for the image {reference}: {error}") from error

    @staticmethod
    def _use(
        uri: str,
        reference: str,
        source: Any,
        here: dict[str, Any] | None,
        *,
        detail: str = "",
        differences: tuple[str, ...] = (),
    ) -> ImageUse:
        digests = (here or {}).get("RepoDigests") or [""]
        return ImageUse(
            uri=uri,
            reference=reference,
            source=source,
            detail=detail,
            image_id=(here or {}).get("Id", ""),
            digest=digests[0].partition("@")[2],
            differences=differences,
        )
