package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func call(method, path, body string) *httptest.ResponseRecorder {
	recorder := httptest.NewRecorder()
	routes().ServeHTTP(recorder, httptest.NewRequest(method, path, strings.NewReader(body)))
	return recorder
}

func TestWelcomeInvitesAChange(t *testing.T) {
	if got := call("GET", "/", ""); got.Code != http.StatusOK || !strings.Contains(got.Body.String(), "Hello") {
		t.Errorf("got %d %s", got.Code, got.Body)
	}
}

func TestItIsHealthy(t *testing.T) {
	if got := strings.TrimSpace(call("GET", "/health", "").Body.String()); got != `{"status":"ok"}` {
		t.Errorf("got %s", got)
	}
}

func TestStatistics(t *testing.T) {
	var got Summary
	if err := json.Unmarshal(call("POST", "/stats", "[4, 2, 9, 1]").Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Count != 4 || got.Min != 1 || got.Max != 9 || got.Mean != 4 || got.Median != 3 {
		t.Errorf("got %+v", got)
	}
}

func TestRefusals(t *testing.T) {
	for _, refused := range []struct {
		method, path, body string
		status             int
	}{
		{"GET", "/nowhere", "", http.StatusNotFound},
		{"GET", "/stats", "", http.StatusMethodNotAllowed},
		{"POST", "/stats", "many", http.StatusBadRequest},
		{"POST", "/stats", "[]", http.StatusBadRequest},
	} {
		if got := call(refused.method, refused.path, refused.body).Code; got != refused.status {
			t.Errorf("%s %s: got %d, want %d", refused.method, refused.path, got, refused.status)
		}
	}
}
