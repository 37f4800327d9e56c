"""Does a registry answer, may we pull from it, and how is an image pulled?"""

from __future__ import annotations

import base64
import contextlib
import threading
from typing import TYPE_CHECKING, Any, Literal

from harness.errors import ImageError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    import docker

    from harness.service.image_uris import ImageUri

__all__ = ["PullPolicy", "Registries"]

PullPolicy = Literal["missing", "never", "always"]
_CHECK_S = 5
_UNREACHABLE = ("no such host", "timeout", "connection refused", "dial tcp", "i/o")
_HUB = ("docker.io", "https://index.docker.io/v1/")


class Registries:
    """Remembers, for one run, which registries answer: each is asked once, for at most five seconds."""

    def __init__(self, client: docker.DockerClient, *, policy: PullPolicy | None, ecr_login: bool) -> None:
        """Keep the caller's wishes.

        Args:
            client: The engine, which does the pulling.
            policy: None means ``missing`` for registries that the engine's credential store knows, else ``never``.
            ecr_login: Use the caller's AWS session to log in to ECR; containers see none of it.

        """
        self.client, self.policy, self.ecr_login = client, policy, ecr_login
        self._silent: dict[str, str] = {}
        self._credentials: dict[str, dict[str, str]] = {}
        self._lock = threading.Lock()

    def policy_for(self, uri: ImageUri) -> PullPolicy:
        """Decide whether an image of that registry may be pulled."""
        if self.policy is not None:
            return self.policy
        if uri.is_ecr and self.ecr_login:
            return "missing"
        return "missing" if self._known(uri.registry) else "never"

    def _known(self, registry: str) -> bool:
        from docker.auth import load_config  # noqa: PLC0415
        from docker.errors import DockerException  # noqa: PLC0415

        names = _HUB if registry in _HUB else (registry, f"https://{registry}")
        try:
            config: Any = load_config()
            if any(name in config.auths or name in config.cred_helpers for name in names):
                return True
            return bool(config.creds_store) and any(name in config.get_all_credentials() for name in names)
        except (DockerException, OSError, ValueError):
            return False

    def has(self, uri: ImageUri) -> str:
        """Ask the registry for an image; empty if it has it, else why not."""
        from docker.errors import APIError, DockerException  # noqa: PLC0415
        from requests.exceptions import RequestException  # noqa: PLC0415

        with self._lock:
            if uri.registry in self._silent:
                return self._silent[uri.registry]
            try:
                why = self._ask(uri)
            except (RequestException, APIError, DockerException, ValueError):
                why = f"{uri.registry} did not answer within {_CHECK_S} s"
                self._silent[uri.registry] = why
            if any(sign in why for sign in _UNREACHABLE):
                self._silent[uri.registry] = f"{uri.registry} cannot be reached ({why})"
            return why

    def _ask(self, uri: ImageUri) -> str:
        from docker import auth  # noqa: PLC0415

        api: Any = self.client.api
        login = self.credentials(uri)
        header = auth.encode_header(login) if login else auth.get_config_header(api, uri.registry)
        # The SDK's own inspect_distribution has no time limit of its own.
        response = api._get(  # noqa: SLF001
            api._url("/distribution/{0}/json", uri.text),  # noqa: SLF001
            headers={"X-Registry-Auth": header} if header else {},
            timeout=_CHECK_S,
        )
        return "" if response.ok else str(response.json().get("message", response.reason))

    def pull(self, uri: ImageUri, progress: Callable[[str], None]) -> None:
        """Pull an image.

        Raises:
            ImageError: The registry refused, or the connection broke.

        """
        from docker.errors import APIError  # noqa: PLC0415
        from requests.exceptions import RequestException  # noqa: PLC0415

        progress(f"pulling {uri.text}")
        reference = uri.text if uri.tag or uri.digest else f"{uri.text}:latest"
        try:
            lines = self.client.api.pull(reference, stream=True, decode=True, auth_config=self.credentials(uri) or None)
            for line in lines:
                if "error" in line:
                    raise ImageError(f"pulling {uri.text} failed: {line['error']}")
        except (APIError, RequestException) as error:
            raise ImageError(f"pulling {uri.text} failed: {getattr(error, 'explanation', None) or error}") from error

    def credentials(self, uri: ImageUri) -> dict[str, str]:
        """Give the login for a registry: ECR's by the caller's AWS session when asked, else the engine's own store."""
        if not (uri.is_ecr and self.ecr_login):
            return {}
        if uri.registry not in self._credentials:
            self._credentials[uri.registry] = _ecr_login(uri)
        return self._credentials[uri.registry]


def _ecr_login(uri: ImageUri) -> dict[str, str]:
    try:
        import boto3  # noqa: PLC0415
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415
    except ImportError as error:
        raise UsageError("--ecr-login needs boto3", remedy="pip install 'sagemaker-harness[aws]'") from error
    try:
        answer: dict[str, Any] = boto3.client("ecr", region_name=uri.region).get_authorization_token(
            registryIds=[str(uri.account)]
        )
        token = answer["authorizationData"][0]["authorizationToken"]
    except (BotoCoreError, ClientError) as error:
        raise ImageError(
            f"--ecr-login: no token for {uri.registry}: {error}",
            remedy="see whether `aws sts get-caller-identity` works, or leave --ecr-login out",
        ) from error
    user = password = ""
    with contextlib.suppress(ValueError):
        user, _, password = base64.b64decode(token).decode().partition(":")
    return {"username": user, "password": password}
