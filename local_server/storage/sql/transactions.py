"""The stores of one transaction, over one connection. They satisfy `Tx` and `ReadTx` of storage/base.py."""

from local_server.domain.events import Event
from local_server.storage.sql.accounts import SqlAccountsReader, SqlAccountsStore, SqlAuditReader, SqlAuditStore
from local_server.storage.sql.catalogue import SqlCatalogueReader, SqlCatalogueStore
from local_server.storage.sql.connection import Connection
from local_server.storage.sql.copies import SqlCopiesReader, SqlCopiesStore
from local_server.storage.sql.deployments import SqlDeploymentsReader, SqlDeploymentsStore
from local_server.storage.sql.idempotency import SqlIdempotencyStore
from local_server.storage.sql.keys import SqlKeysReader, SqlKeysStore
from local_server.storage.sql.metering import SqlMeteringReader, SqlMeteringStore
from local_server.storage.sql.outbox import SqlOutboxReader, SqlOutboxStore, SqlRemotesReader, SqlRemotesStore
from local_server.storage.sql.plans import SqlPlansReader, SqlPlansStore
from local_server.storage.sql.publishers import (
    SqlAccessTokensReader,
    SqlAccessTokensStore,
    SqlSigningKeysReader,
    SqlSigningKeysStore,
)
from local_server.storage.sql.publishing import SqlPublishedReader, SqlPublishedStore
from local_server.storage.sql.quotas import SqlQuotasReader, SqlQuotasStore
from local_server.storage.sql.registry import SqlRegistryReader, SqlRegistryStore
from local_server.storage.sql.reviews import SqlReviewsReader, SqlReviewsStore
from local_server.storage.sql.secrets import SqlSecretsReader, SqlSecretsStore
from local_server.storage.sql.subscriptions import SqlSubscriptionsReader, SqlSubscriptionsStore
from local_server.storage.sql.uploads import SqlUploadsReader, SqlUploadsStore
from local_server.storage.sql.usage import SqlUsageReader, SqlUsageStore
from local_server.storage.sql.versions import SqlVersionsReader, SqlVersionsStore
from local_server.storage.sql.ways import SqlWaysReader, SqlWaysStore


class SqlReadTx:
    def __init__(self, connection: Connection) -> None:
        self.accounts = SqlAccountsReader(connection)
        self.keys = SqlKeysReader(connection)
        self.quotas = SqlQuotasReader(connection)
        self.audit = SqlAuditReader(connection)
        self.registry = SqlRegistryReader(connection)
        self.deployments = SqlDeploymentsReader(connection)
        self.versions = SqlVersionsReader(connection)
        self.ways = SqlWaysReader(connection)
        self.outbox = SqlOutboxReader(connection)
        self.remotes = SqlRemotesReader(connection)
        self.usage = SqlUsageReader(connection)
        self.catalogue = SqlCatalogueReader(connection)
        self.copies = SqlCopiesReader(connection)
        self.reviews = SqlReviewsReader(connection)
        self.plans = SqlPlansReader(connection)
        self.subscriptions = SqlSubscriptionsReader(connection)
        self.metering = SqlMeteringReader(connection)
        self.published = SqlPublishedReader(connection)
        self.uploads = SqlUploadsReader(connection)
        self.signing_keys = SqlSigningKeysReader(connection)
        self.access_tokens = SqlAccessTokensReader(connection)
        self.secrets = SqlSecretsReader(connection)


class SqlTx:
    def __init__(self, connection: Connection) -> None:
        self.accounts = SqlAccountsStore(connection)
        self.keys = SqlKeysStore(connection)
        self.quotas = SqlQuotasStore(connection)
        self.audit = SqlAuditStore(connection)
        self.registry = SqlRegistryStore(connection)
        self.deployments = SqlDeploymentsStore(connection)
        self.versions = SqlVersionsStore(connection)
        self.ways = SqlWaysStore(connection)
        self.outbox = SqlOutboxStore(connection)
        self.remotes = SqlRemotesStore(connection)
        self.usage = SqlUsageStore(connection)
        self.catalogue = SqlCatalogueStore(connection)
        self.copies = SqlCopiesStore(connection)
        self.reviews = SqlReviewsStore(connection)
        self.plans = SqlPlansStore(connection)
        self.subscriptions = SqlSubscriptionsStore(connection)
        self.metering = SqlMeteringStore(connection)
        self.published = SqlPublishedStore(connection)
        self.uploads = SqlUploadsStore(connection)
        self.signing_keys = SqlSigningKeysStore(connection)
        self.access_tokens = SqlAccessTokensStore(connection)
        self.secrets = SqlSecretsStore(connection)
        self.idempotency = SqlIdempotencyStore(connection)
        self.events: list[Event] = []
        """In the order they were emitted."""

    def emit(self, event: Event) -> None:
        self.events.append(event)
