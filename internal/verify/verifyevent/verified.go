package verifyevent

// CodeVerified is the topic of scans, of the contract.
const CodeVerified = "code.verified"

// Verified tells others of one scan. Who scanned is in it as a salted number at most:
// no address, no user agent, and no place smaller than a province.
type Verified struct {
	Code       string `json:"code"`
	BrandID    int32  `json:"brand_id"`
	ProductID  int32  `json:"product_id"`
	BatchID    string `json:"batch_id,omitempty"` // absent when the batch is not known any more
	BatchNo    string `json:"batch_no,omitempty"`
	ItemNo     int64  `json:"item_no"` // of the item in its batch
	Result     string `json:"result"`  // success, failure, abnormal
	Error      string `json:"error_msg,omitempty"`
	Verdict    string `json:"verdict"`
	Source     string `json:"source"`     // page, api, grpc
	Count      int64  `json:"scan_count"` // of the item, with this one
	First      bool   `json:"first_scan"`
	FirstOfDay bool   `json:"first_of_day"` // UTC
	NewSession bool   `json:"new_session"`
	Far        bool   `json:"far_apart"`
	Device     string `json:"device,omitempty"` // as the list of scans shows it
	Country    string `json:"country,omitempty"`
	Province   string `json:"province,omitempty"`
}
