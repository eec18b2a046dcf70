# Another image takes the binary with: COPY --from=forkspan /forkspan /usr/local/bin/
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN make build

FROM scratch
COPY --from=build /src/forkspan /forkspan
ENTRYPOINT ["/forkspan"]
