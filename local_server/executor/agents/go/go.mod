module apimarket/agent

go 1.21
