"""The documents of the command line are the wire models, field by field and type by type."""

import types
from datetime import datetime
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
from pydantic import BaseModel

from local_server.client import (
    documents,
    file_documents,
    market_documents,
    outbox_documents,
    secret_documents,
    token_documents,
    version_documents,
)
from local_server.wire import (
    accounts,
    analytics,
    apis,
    exchanges,
    files,
    market,
    outbox,
    secrets,
    server,
    sync,
    tokens,
    versions,
)

PAIRS: list[tuple[Any, type[BaseModel]]] = [
    (documents.FailureDocument, apis.FailureView),
    (documents.GenerationDocument, apis.GenerationView),
    (documents.TrafficDocument, apis.TrafficView),
    (documents.UsageDocument, apis.UsageView),
    (documents.ContainerDocument, apis.ContainerView),
    (documents.ReplicasDocument, apis.ReplicasView),
    (documents.ApiDocument, apis.ApiView),
    (documents.TemplateDocument, apis.TemplateView),
    (documents.LogLineDocument, apis.LogLineView),
    (documents.ExecutionDocument, apis.ExecutionView),
    (documents.StatsPointDocument, analytics.StatsPoint),
    (documents.GenerationStatsDocument, analytics.GenerationStats),
    (documents.VersionStatsDocument, analytics.VersionStats),
    (documents.PathStatsDocument, analytics.PathStats),
    (documents.ErrorGroupDocument, analytics.ErrorGroup),
    (documents.PopularityDocument, analytics.PopularityView),
    (documents.StatsDocument, analytics.StatsView),
    (documents.HistoryDocument, analytics.HistoryView),
    (documents.BodyDocument, exchanges.BodyView),
    (documents.ExchangeSummaryDocument, exchanges.ExchangeSummary),
    (documents.ExchangeDocument, exchanges.ExchangeView),
    (documents.ReplayExchangeDocument, exchanges.ReplayExchange),
    (documents.CompareExchangeDocument, exchanges.CompareExchange),
    (documents.ReplayDocument, exchanges.ReplayView),
    (documents.HeaderChangeDocument, exchanges.HeaderChangeView),
    (documents.CompareDocument, exchanges.CompareView),
    (documents.ForgottenDocument, exchanges.Forgotten),
    (file_documents.ApiFileDocument, files.ApiFileView),
    (file_documents.LeftOutDocument, files.LeftOutView),
    (file_documents.ManifestRowDocument, files.ManifestRowView),
    (file_documents.ManifestProblemDocument, files.ManifestProblemView),
    (file_documents.ManifestDocument, files.ManifestView),
    (file_documents.FilesDocument, files.FilesView),
    (file_documents.FileDocument, files.FileView),
    (documents.RegisterDocument, apis.RegisterApi),
    (documents.ScaffoldDocument, apis.ScaffoldApi),
    (documents.HealthDocument, server.Health),
    (documents.ServerDocument, server.ServerView),
    (documents.CheckDocument, server.Check),
    (documents.AckDocument, server.Ack),
    (documents.AccountDocument, accounts.AccountView),
    (documents.SessionDocument, accounts.SessionView),
    (documents.CreateKeyDocument, accounts.CreateKey),
    (documents.KeyDocument, accounts.KeyView),
    (documents.NewKeyDocument, accounts.NewKeyView),
    (secret_documents.SecretDocument, secrets.SecretView),
    (secret_documents.SecretChangedDocument, secrets.SecretChanged),
    (token_documents.CreateTokenDocument, tokens.CreateToken),
    (token_documents.TokenDocument, tokens.TokenView),
    (token_documents.NewTokenDocument, tokens.NewTokenView),
    (market_documents.ListingCardDocument, market.ListingCard),
    (market_documents.FacetDocument, market.FacetView),
    (market_documents.SearchDocument, market.SearchView),
    (market_documents.CatalogueCopyDocument, market.CatalogueCopyView),
    (market_documents.MarketSearchDocument, market.MarketSearchView),
    (market_documents.EndpointDocument, market.EndpointView),
    (market_documents.CatalogueChangeDocument, market.CatalogueChange),
    (market_documents.CatalogueDocument, market.CatalogueFeed),
    (market_documents.PlanDocument, market.PlanView),
    (market_documents.WrittenPlanDocument, market.WrittenPlanView),
    (market_documents.MeasuredDocument, market.MeasuredView),
    (market_documents.ReviewSummaryDocument, market.ReviewSummaryView),
    (market_documents.ListedVersionDocument, market.ListedVersionView),
    (market_documents.ListingDocument, market.ListingView),
    (market_documents.ReviewDocument, market.ReviewView),
    (market_documents.ReviewsDocument, market.ReviewsView),
    (market_documents.WriteReviewDocument, market.WriteReview),
    (market_documents.SubscribeDocument, market.Subscribe),
    (market_documents.MeteredDocument, market.MeteredView),
    (market_documents.SubscriptionDocument, market.SubscriptionView),
    (market_documents.NewSubscriptionDocument, market.NewSubscriptionView),
    (market_documents.UsageRowDocument, market.UsageRow),
    (market_documents.CatalogueChangeDocument, market.CatalogueChange),
    (market_documents.CatalogueDocument, market.CatalogueFeed),
    (outbox_documents.SyncLimitsDocument, sync.SyncLimits),
    (outbox_documents.SyncInfoDocument, sync.SyncInfo),
    (outbox_documents.TroubleDocument, outbox.TroubleView),
    (outbox_documents.OutboxEntryDocument, outbox.OutboxEntryView),
    (outbox_documents.RemoteDocument, outbox.RemoteView),
    (outbox_documents.RemoteApiDocument, outbox.RemoteApiView),
    (outbox_documents.CloneDocument, outbox.CloneView),
    (outbox_documents.OutboxDocument, outbox.OutboxView),
    (outbox_documents.FileChangeDocument, outbox.FileChangeView),
    (outbox_documents.ContractChangeDocument, outbox.ContractChangeView),
    (outbox_documents.PublishPlanDocument, outbox.PublishPlanView),
    (outbox_documents.PublishDocument, outbox.PublishView),
    (outbox_documents.PulledDocument, outbox.PulledView),
    (outbox_documents.SideDocument, outbox.SideView),
    (outbox_documents.FileSideDocument, outbox.FileSideView),
    (outbox_documents.FieldConflictDocument, outbox.FieldConflictView),
    (outbox_documents.FileConflictDocument, outbox.FileConflictView),
    (outbox_documents.ConflictDocument, outbox.ConflictView),
    (outbox_documents.ResolvedDocument, outbox.ResolvedView),
    (version_documents.VersionDocument, versions.VersionView),
    (version_documents.ShareDocument, versions.ShareView),
    (version_documents.PendingMoveDocument, versions.PendingMove),
    (version_documents.TrafficSplitDocument, versions.TrafficSplitView),
    (version_documents.ChannelsDocument, versions.ChannelsView),
    (version_documents.DeployVersionDocument, versions.DeployVersion),
    (version_documents.MoveTrafficDocument, versions.MoveTraffic),
    (version_documents.TreeSideDocument, versions.TreeSideView),
    (version_documents.FileDifferenceDocument, versions.FileDifferenceView),
    (version_documents.TreeDifferenceDocument, versions.TreeDifferenceView),
]
NAMES = {document: model.__name__ for document, model in PAIRS}


def spelled(hint: Any) -> str:
    """A type in one spelling for both sides: models and documents by the model's name, times as `str`."""
    if hint is datetime:
        return "str"
    if hint in NAMES:
        return NAMES[hint]
    origin = get_origin(hint)
    if origin is Literal:
        return f"Literal{get_args(hint)}"
    if origin in (Union, types.UnionType):
        return " | ".join(sorted(spelled(part) for part in get_args(hint)))
    if origin is not None:
        return f"{origin.__name__}[{', '.join(spelled(part) for part in get_args(hint))}]"
    return str(hint.__name__)


class TestDocuments:
    @pytest.mark.parametrize(("document", "model"), PAIRS, ids=lambda side: side.__name__)
    def test_a_document_is_its_model(self, document: Any, model: type[BaseModel]) -> None:
        of_document = {name: spelled(hint) for name, hint in get_type_hints(document).items()}
        of_model = {name: spelled(hint) for name, hint in get_type_hints(model).items() if name in model.model_fields}

        assert of_document == of_model

    def test_every_document_is_compared(self) -> None:
        modules = (
            documents,
            file_documents,
            market_documents,
            outbox_documents,
            secret_documents,
            token_documents,
            version_documents,
        )
        everything = {name: value for module in modules for name, value in vars(module).items()}
        written = {value for name, value in everything.items() if name.endswith("Document")}

        assert written == {document for document, _ in PAIRS}
