from twisted.application.service import ServiceMaker

ngksock = ServiceMaker(
    "ngksock",
    "ngksock.service.tap",
    "Host a netgraph graph configured from ngctl files.",
    "ngksock",
)
