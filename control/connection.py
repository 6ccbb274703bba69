"""The connection to Temporal, as the SDK's own environment configuration describes it."""

from temporalio.client import Client
from temporalio.contrib.pydantic import PydanticPayloadConverter
from temporalio.converter import CompositePayloadConverter, DataConverter
from temporalio.envconfig import ClientConfig
from temporalio.service import GrpcCompression

_SHARED = tuple(PydanticPayloadConverter().converters.values())


class SharedPayloadConverter(CompositePayloadConverter):
    """The SDK's pydantic converter, whose type adapters all runs share: the SDK makes a converter for each run."""

    def __init__(self) -> None:
        super().__init__(*_SHARED)


DATA_CONVERTER = DataConverter(payload_converter_class=SharedPayloadConverter)
"""How values become payloads: exactly as by the SDK's ``pydantic_data_converter``."""


async def connect(*, lazy: bool = True) -> Client:
    """A client by ``TEMPORAL_ADDRESS``, ``TEMPORAL_NAMESPACE``, ``TEMPORAL_API_KEY``, ``TEMPORAL_TLS…``, or a profile.

    ``lazy``: connects at the first call, so that a process comes up while Temporal is down. To a server on this machine
    nothing is compressed: that would cost time and save none.
    """
    config = ClientConfig.load_client_connect_config()
    address = config.setdefault("target_host", "127.0.0.1:7233")
    local = address.rpartition(":")[0] in {"127.0.0.1", "localhost", "[::1]"}
    return await Client.connect(
        **config,
        data_converter=DATA_CONVERTER,
        lazy=lazy,
        grpc_compression=GrpcCompression.NONE if local else GrpcCompression.GZIP,
    )
