"""Stand-ins for what the services send mail and set instances up with."""

from dataclasses import dataclass, field

from domain.mail import Mail
from domain.provisioning import Provisioned, ProvisionOrder


@dataclass
class FakeMailer:
    """Takes every mail and keeps it with its key, unless it is told to fail."""

    failures: list[Exception] = field(default_factory=list)
    sent: list[tuple[str, Mail]] = field(default_factory=list)

    async def send(self, mail, *, key):
        if self.failures:
            raise self.failures.pop()
        self.sent.append((key, mail))
        return f"<{key}@example.com>"


@dataclass
class FakeProvisioner:
    """Sets instances up at once, unless it is told to fail; keeps what it was asked."""

    failures: list[BaseException] = field(default_factory=list)
    url: str | None = None
    orders: list[tuple[str, ProvisionOrder]] = field(default_factory=list)

    async def provision(self, order, *, key, heartbeat):
        heartbeat("asked")
        self.orders.append((key, order))
        if self.failures:
            raise self.failures.pop()
        return Provisioned(endpoints={"app": order.tenant_url}, url=self.url)
