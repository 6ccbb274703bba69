"""An application with SQLModel, as it might be anywhere: ``python sqlmodel_application.py COMMAND NAME …``.

It knows nothing of Stepwell; its database is ``APPLICATION_DATABASE_URL``.
"""

import os
import sys
from datetime import UTC, datetime
from decimal import Decimal

from sqlmodel import Field, Session, SQLModel, create_engine, select


class Order(SQLModel, table=True):
    __tablename__ = "orders"

    id: int | None = Field(default=None, primary_key=True)
    email: str
    total: Decimal = Field(default=Decimal(0), max_digits=10, decimal_places=2)
    card_token: str = "tok_hush"
    ordered_at: datetime = Field(default_factory=lambda: datetime.now(UTC))


def main(command: str, *emails: str) -> None:
    url = os.environ["APPLICATION_DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://", 1)
    engine = create_engine(url)
    match command:
        case "create_all":
            SQLModel.metadata.create_all(engine)
        case "order":
            with Session(engine) as session:
                session.add_all([Order(email=email, total=Decimal("19.90")) for email in emails])
                session.commit()
        case "raise":
            with Session(engine) as session:
                for order in session.exec(select(Order)):
                    order.total += 1
                session.commit()


if __name__ == "__main__":
    main(*sys.argv[1:])
